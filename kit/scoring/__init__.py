"""Losses of given texts under a causal language model, in nats a token: the numbers behind IFD and perplexity.

``tokens`` says what is scored, ``batches`` which rows go through the model together, ``heads`` how hidden states become
losses, ``losses`` runs the passes, ``boundaries`` parts a text into question and response, ``pairs`` puts all of it
together. No file of this room knows a metric, an engine or a manifest.
"""
