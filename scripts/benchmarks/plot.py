"""A table's column as a picture: bars (medians) with a line from minimum to maximum. SVG by hand, no library."""

from html import escape

from benchmarks.results import Figure, Row, Table

WIDTH, LEFT, RIGHT, TOP, LINE, BAR = 960, 480, 90, 40, 26, 16
OURS, OTHERS, WHISKER = "#2563eb", "#94a3b8", "#1e293b"


def bars(table: Table) -> str:
    """The plotted column; the first row, and whatever else is ours, has a colour of its own."""
    column = table.columns.index(table.plotted)
    figures = [(row, cell) for row in table.rows if isinstance(cell := row.cells[column], Figure)]
    scale = (WIDTH - LEFT - RIGHT) / max(max(figure.samples) for _, figure in figures)
    title = f"{table.caption}: {table.plotted}"
    height = TOP + LINE * len(figures) + 10
    lines = [
        _line(TOP + LINE * place, row, figure, scale, OURS if place == 0 or row.ours else OTHERS)
        for place, (row, figure) in enumerate(figures)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
            ' font-family="system-ui, sans-serif" font-size="13" fill="#0f172a">',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<text x="16" y="24" font-size="15" font-weight="600">{escape(title)}</text>',
            *lines,
            "</svg>",
            "",
        ]
    )


def _line(y: int, row: Row, figure: Figure, scale: float, colour: str) -> str:
    low, middle, high = (LEFT + value * scale for value in (min(figure.samples), figure.median, max(figure.samples)))
    centre = y + BAR / 2
    return "\n".join(
        [
            f'<text x="{LEFT - 8}" y="{centre + 4.5}" text-anchor="end">{escape(row.name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{middle - LEFT:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
            f'<path stroke="{WHISKER}" fill="none" d="M{low:.1f} {centre}H{high:.1f}',
            f'M{low:.1f} {centre - 4}v8M{high:.1f} {centre - 4}v8"/>',
            f'<text x="{high + 8:.1f}" y="{centre + 4.5}">{figure.median:,.{figure.digits}f}</text>',
        ]
    )
