"""What the book's interactive figures share: one HTML string with its own style, data and script.

Nothing is fetched and no library is needed. What a script would add is there in a static form before
it runs, so a figure reads the same where scripts are off.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def element_id(kind: str, *content: str) -> str:
    """Name of an element by what it shows: the same content gives the same page.

    >>> element_id("map", "a", "b") == element_id("map", "a", "b") != element_id("map", "b", "a")
    True
    """
    return kind + hashlib.sha256(json.dumps(content).encode()).hexdigest()[:10]


def widget(kind: str, key: str, body: str, data: dict[str, Any], style: str, script: str) -> str:
    """HTML of an interactive figure.

    Parameters
    ----------
    kind : str
        Class of the element.
    key : str
        Its id (`element_id`); ``KEY`` in `style` and `script` stands for it.
    body : str
        What is read without scripts; all text in it is escaped.
    data : dict
        What the script reads as ``data``; any text, treated as hostile.
    style : str
        Rules of its own, after those that all such figures share.
    script : str
        Statements run once, with the element as ``root``.
    """
    # A closing tag inside the data would end the script element; JSON reads the escapes as the same text.
    payload = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    for character in "<>&":
        payload = payload.replace(character, f"\\u{ord(character):04x}")
    return (
        f'<figure class="{kind}" id="{key}"><style>\n{(SHARED + style).replace("KEY", key)}\n</style>'
        f'{body}<script type="application/json">{payload}</script>'
        f"<script>{(OPENING + script + CLOSING).replace('KEY', key)}</script></figure>"
    )


SHARED = """#KEY{background:#fff;color:#222;padding:.6em;margin:1em 0;font:15px/1.4 sans-serif}
#KEY :is(p,label,caption,th,td){color:#222}#KEY p{margin:.3em 0}
#KEY select{font:inherit;color:#222;background:#fff}#KEY [hidden]{display:none}
#KEY :focus-visible{outline:2px solid #0072B2;outline-offset:2px}
"""

OPENING = """(function(root){if(!root||root.dataset.ready)return;root.dataset.ready=1;
var data=JSON.parse(root.querySelector('script[type="application/json"]').textContent);"""

CLOSING = "})(document.getElementById('KEY'));"
