"""How the base is fine-tuned: pairs -> examples -> a plan of steps -> a trainer. The stage is ``kit/stages/sft.py``."""
