"""The kinds of anchors that come with the product, one file each."""
