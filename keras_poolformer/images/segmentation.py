"""The images of segmenters: how they are prepared."""

from keras_poolformer.images.transform import ImageTransform


def segmentation_transform(size: int | tuple[int, int] = 512) -> ImageTransform:
    """Returns the transform of mmsegmentation's test pipeline (`fpn_poolformer_s12_8xb4-40k`).

    Args:
        size: Length of the shorter side in pixels, or (height, width) for exactly that.
    """
    return ImageTransform(
        size=size,
        crop_pct=None,
        interpolation="bilinear",
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        crop_mode="mmseg",
        do_center_crop=False,
        do_rescale=False,
    )
