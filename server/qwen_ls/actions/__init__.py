"""What can a user ask? Async verbs over ports; one file per verb."""
