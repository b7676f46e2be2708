"""Where weights come from: names, paths and URIs, downloads, .keras files and preset folders."""
