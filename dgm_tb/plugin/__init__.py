"""The TensorBoard plugin: the only room that knows HTTP."""
