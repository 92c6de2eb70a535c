"""Model files: safetensors with a description in JSON and a checksum; nothing is unpickled."""
