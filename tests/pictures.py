"""What is seen of a figure: its texts, which may neither be cut nor overlap."""

import io

from matplotlib.figure import Figure
from matplotlib.text import Text

from fer_cli.drawing import SMALL


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Return pairs of texts whose boxes overlap; none may be cut or smaller than the least size."""
    figure.savefig(io.BytesIO(), format="png")  # at the own resolution, in which extents are given
    hidden = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not min(axis.get_view_interval()) - 1e-9 <= tick.get_loc() <= max(axis.get_view_interval()) + 1e-9
    }
    texts = [
        text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip() and id(text) not in hidden
    ]
    assert min(text.get_fontsize() for text in texts) >= SMALL
    boxes = [text.get_window_extent() for text in texts]
    for text, box in zip(texts, boxes, strict=True):
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        assert inside, f"{text.get_text()} is cut"
    inner = [box.shrunk(0.98, 0.8) for box in boxes]
    return [
        (texts[i].get_text(), texts[j].get_text())
        for i in range(len(inner))
        for j in range(i)
        if inner[i].overlaps(inner[j])
    ]
