"""Region similarity J and boundary accuracy F: the definition and the engines that count them."""
