"""What is mended in the builder's HTML."""

from markup import mend


def test_markup_is_mended_and_the_rest_left_alone() -> None:
    assert mend('<th class="head"><p></p></th><th>x</th>') == "<td></td><th>x</th>"
    assert mend('<div class="citation" role="doc-biblioentry">') == '<div class="citation">'
    box = (
        '<div class="output text_html"><style type="text/css">\n</style>\n<table id="T"><thead><tr>'
    )
    table = box + "<th>a</th>" * 8 + "</tr></thead>"
    assert 'class="output text_html" tabindex="0" role="region"' in mend(table)
    wide = box + "<th>a</th>" * 9 + "</tr></thead>"
    assert 'class="output text_html full-width" tabindex="0"' in mend(wide)
    assert mend('<div class="output text_html"><figure>').count("tabindex") == 0
    assert mend('<img src="a.svg">', lazy=True) == '<img loading="lazy" src="a.svg">'
