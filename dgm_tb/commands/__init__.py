"""What ``dgm-tb`` does, a subcommand a module. Heavy imports stand in the functions: ``--help`` loads none of them."""
