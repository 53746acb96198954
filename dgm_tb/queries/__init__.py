"""What may be asked about a run: one module a question, each a request, a view and ``answer``."""
