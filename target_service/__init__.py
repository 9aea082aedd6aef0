"""TargetService: hosts the target model, verifies draft tokens, decodes alone without them."""
