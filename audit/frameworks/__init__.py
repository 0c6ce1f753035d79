"""Framework packs: requirements and the facts that answer them, as data. `audit.frameworks.packs` reads them."""
