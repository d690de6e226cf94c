"""The subcommands of `labelbus`, one module each; imported when they are called."""
