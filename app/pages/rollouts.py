"""Rollouts: what RL training sampled, group by group, with both rewards and advantages."""

from __future__ import annotations

from typing import Final, get_args

from markupsafe import Markup

from app.address import Address
from app.markup import fill, join, link
from app.opened import Opened
from app.pages import Screen, disabled, key_link
from app.rollouts import NO_ROLLOUTS, Group, GroupPage, Sort
from app.rollouts_html import render_group, render_group_page
from app.trace_html import Row, render_question

_ORDERS: Final = {"step": "by step", "collapse": "collapsed first", "spread": "widest spread first"}


def show_rollouts(opened: Opened, address: Address) -> Screen:
    """The groups of a page, or one of them. Raises UserError."""
    rollouts = opened.rollouts
    if rollouts is None:
        empty = fill('<div class="vp viewer-empty"><h3>No rollouts yet</h3><p>{}</p></div>', NO_ROLLOUTS)
        return Screen(address, empty)
    notes = list(rollouts.notes)
    if address.group is not None:
        group = rollouts.group(address.group)
        if group is not None:
            question = _question(opened, group)
            main = fill("{}{}", _asked(address, group, question), render_group(group, question))
            return Screen(address, main, notes=notes)
        notes.append(f"There is no group {address.group:,}; there are {rollouts.num_groups:,}, from 0.")
        address = address.changed(group=None)
    order: Sort = "step"
    for known in get_args(Sort):
        if known == address.group_order:
            order = known
    page = rollouts.page(order, address.groups_page or 1)
    orders = join(
        fill(
            '<a data-go href="{}" aria-current="{}">{}</a>',
            address.link(group_order=key, groups_page=None),
            "true" if key == order else "false",
            words,
        )
        for key, words in _ORDERS.items()
    )
    main = fill(
        '<div class="vp"><p><b>{}</b> rollouts in <b>{}</b> groups</p><nav class="viewer-choice" aria-label="order">{}'
        '</nav>{}<nav class="viewer-pager" aria-label="pages">{}</nav></div>',
        f"{rollouts.num_rollouts:,}",
        f"{rollouts.num_groups:,}",
        orders,
        render_group_page(page, lambda group: address.link(group=group.place)),
        _pager(page, address),
    )
    return Screen(address, main, notes=notes)


def _question(opened: Opened, group: Group) -> Row | None:
    """The row that the group answers, if the open dataset has it."""
    row_id = group.summary.question_id
    places = opened.dataset.places(row_id) if row_id else []
    return opened.dataset.row(places[0]) if places else None


def _asked(address: Address, group: Group, question: Row | None) -> Markup:
    """What the group answers, or why that is not shown."""
    back = link(address.link(group=None), "All groups")
    row_id = group.summary.question_id
    if question is None:
        said = "Its question is not among these rows." if row_id else "Which question it answers is not recorded."
        return fill('<nav class="viewer-toolbar">{}</nav><p class="vp vp-quiet">{}</p>', back, said)
    its_row = link(Address(tab="browse", row_id=row_id).link(), "Its row")
    shown = render_question(question)
    return fill('<nav class="viewer-toolbar">{}{}</nav><div class="vp">{}</div>', back, its_row, shown)


def _pager(page: GroupPage, address: Address) -> Markup:
    steps = (("previous-page", "Previous", page.number - 1), ("next-page", "Next", page.number + 1))
    before, after = (
        key_link(address.changed(groups_page=number), key, words) if 1 <= number <= page.num_pages else disabled(words)
        for key, words, number in steps
    )
    return fill("{}<span>page <b>{}</b> of {}</span>{}", before, f"{page.number:,}", f"{page.num_pages:,}", after)
