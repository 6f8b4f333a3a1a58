"""Fine-tune the base: pairs -> examples -> a plan of steps -> a trainer. The stage is ``kit/stages/sft.py``."""
