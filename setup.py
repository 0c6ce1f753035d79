"""Packages of the wheel. `templates/` stands at the top of the checkout and travels as the data package `pressmark_templates`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["registry*", "audit*", "compression_engine*"]), "pressmark_templates"],
    package_dir={"pressmark_templates": "templates"},
    package_data={
        "pressmark_templates": ["**/*"],
        "registry": ["**/*.toml", "**/*.json", "static/**/*"],
        "audit": ["**/*.toml", "**/*.json"],
        "compression_engine": ["**/*.json", "*.md", "py.typed"],
    },
)
