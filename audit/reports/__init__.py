"""Reports: one data model (`data`), shown as page, PDF (`pdf`), JSON and CSV (`tables`)."""
