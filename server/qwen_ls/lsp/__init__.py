"""How does an editor ask? The only place that knows pygls."""
