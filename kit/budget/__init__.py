"""Decide a claim with as little computing as the evidence allows: what to run first, and when to stop.

A **step** is one pair of models, one on each side of the claim, trained with one seed, with the benchmarks that the
claim reads of them. A **part** is what steps have in common that stand for one another: all but the replicate (the base
model, for most claims) and the seed. A **block** has one step of each part, so that a claim about an average over seed
sets is not decided by the cheapest of them. The order is fixed before the first result, from costs and from what the
paper prints. docs/budget.md says what the evidence means, and what was simulated.
"""
