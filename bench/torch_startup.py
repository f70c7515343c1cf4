"""Process start to first embedding, as a user of the reference writes it: the PyTorch half of the `startup` row.

`python torch_startup.py MODEL_DIR TOKENS.safetensors OUTPUT.safetensors THREADS`
"""

import sys

import torch
from aion import AION
from safetensors.torch import load_file, save_file

model_dir, tokens_path, output_path, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
model = AION.from_pretrained(model_dir).eval()
tokens = load_file(tokens_path)
with torch.inference_mode():
    embedding = model.encode(tokens, num_encoder_tokens=sum(ids.shape[1] for ids in tokens.values()))
save_file({"embedding": embedding.contiguous()}, output_path)
