"""What the sidecar costs and gains, measured side by side with two common ways to do without it.

    make bench
    make bench ARGS="--only notice,cost"

How a number comes about: `__main__` calls the parts in `PARTS`. A part starts `contenders` as processes (`players`)
against the simulator as another process (`far`), and returns a `Section` of figures (`figure`). `report` makes the page
of them, `plots` the pictures.

* `faults` plays every fault against all contenders at once; `notice`, `recover` and `truth` read its record.
* `storm`, `cost`, `http`, `api`, `growth` and `fleet` measure one group of figures each.
* `timeline` is the arithmetic of "said" and "was so".

A new figure is a `Figure` in its part's `section`, which is pure, and tested. A new part goes into `PARTS`, its picture
into `plots`.
"""
