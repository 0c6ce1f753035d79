"""Named facts that assessments rest on. `audit.facts.table.FACTS` lists them."""
