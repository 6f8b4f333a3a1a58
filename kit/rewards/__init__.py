"""Rewards of chats by a model with one number at its end: sequence classifiers with one label, InternLM2's among them.

No code that comes with a model is run. The body is run without a head over batches of chats of like length, filled up
on the right, and the head is applied in float32 to one place of each: the last token, as transformers' own classifiers
do it, after the model's reward token where it has one.
"""

from kit.rewards.model import Reward, RewardModel, open_reward_model

__all__ = ["Reward", "RewardModel", "open_reward_model"]
