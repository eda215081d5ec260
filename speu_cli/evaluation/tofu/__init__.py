"""The measures of TOFU: how well a model knows answers, how it tells them from wrong ones, what is left."""
