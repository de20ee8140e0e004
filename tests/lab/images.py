"""Which images the playbooks deploy here."""

from testing.stack import TAG

# The runner has built the images.
BUILT = ("-e", '{"images_build": false}', "-e", f"images_tag={TAG}")
