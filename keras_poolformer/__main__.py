"""`python -m keras_poolformer` is `keras-poolformer`."""

import sys

from keras_poolformer.cli import main

if __name__ == "__main__":
    sys.exit(main())
