"""llmx: bulk structured extraction with language models."""
