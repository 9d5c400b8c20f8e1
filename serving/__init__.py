"""The BentoML services. A serving process needs neither torch nor the pipeline's stages."""
