"""Model folders: config.json, *.safetensors, tokenizer files with a chat template, generation_config.json.

Each function makes one such folder out of a source, shard by shard where the source has shards, and runs no code that
came with a model: ``trust_remote_code=False`` is said wherever a library opens a folder, ``auto_map`` is refused,
``*.py`` files are left behind, and a chat template is run within limits, in a process of its own.
"""

from kit.models.adapters import check_adapter
from kit.models.folder import check_chat_template, check_model_folder
from kit.models.internlm2 import internlm2_to_llama
from kit.models.llama_cpp import distribution_file, from_gguf, sha256_of
from kit.models.packaged import packaged_model
from kit.models.reward_head import add_reward_head
from kit.models.rewrite import bin_to_safetensors, select_layers
from kit.models.tokenizer import left_out, load_tokenizer, question_left_out, render
from kit.models.vocabulary import check_ids, embedding_rows
from kit.models.weights import check_weights, head_of, load_causal_lm, load_reward_model

__all__ = [
    "add_reward_head",
    "bin_to_safetensors",
    "check_adapter",
    "check_chat_template",
    "check_ids",
    "check_model_folder",
    "check_weights",
    "distribution_file",
    "embedding_rows",
    "from_gguf",
    "head_of",
    "internlm2_to_llama",
    "left_out",
    "load_causal_lm",
    "load_reward_model",
    "load_tokenizer",
    "packaged_model",
    "question_left_out",
    "render",
    "select_layers",
    "sha256_of",
]
