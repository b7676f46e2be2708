"""Where weights come from: presets, files, directories and hub repositories.

`resolve` finds out what a text stands for; the `Source` that it returns is read once, into
`Contents`.
"""

from keras_poolformer.sources.resolution import resolve as resolve
from keras_poolformer.sources.source import Contents as Contents
from keras_poolformer.sources.source import Source as Source
