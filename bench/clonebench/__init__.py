"""CloneBench: does a system recognise a licensed recording through what was done to it?

``python -m bench.clonebench --catalog DIR --distractors DIR --out DIR`` renders every condition of
`bench.conditions` from recordings of the catalog, asks each system, and does the same with recordings that
are not in the catalog to learn what a score is worth.
"""
