"""Form fields that wear the theme."""

from typing import Any

from django import forms
from unfold import widgets


def text(label: str, **options: Any) -> forms.CharField:
    return forms.CharField(label=label, widget=widgets.UnfoldAdminTextInputWidget(), **options)


def number(label: str, **options: Any) -> forms.IntegerField:
    return forms.IntegerField(label=label, widget=widgets.UnfoldAdminIntegerFieldWidget(), **options)


def one_of(label: str, **options: Any) -> forms.ModelChoiceField:  # type: ignore[type-arg]
    return forms.ModelChoiceField(label=label, widget=widgets.UnfoldAdminSelectWidget(), **options)


def some_of(label: str, choices: Any, **options: Any) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label, choices=choices, widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget(), **options
    )
