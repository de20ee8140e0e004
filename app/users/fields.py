"""A model field for e-mail addresses."""

from typing import Any

from django.db import models


class LowercaseEmailField(models.EmailField):  # type: ignore[type-arg]  # not subscriptable at run time
    """An e-mail address that is the same whatever its capitals.

    Values are lower-cased on their way into the database, in lookups too, so `Ann@Example.org` finds `ann@example.org`
    and a plain unique index is enough.
    """

    def to_python(self, value: Any) -> Any:
        """The value as a form or a fixture hands it to the model."""
        value = super().to_python(value)
        return value.lower() if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> Any:
        """The value as it is stored and looked up."""
        return self.to_python(super().get_prep_value(value))

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Makes the instance in memory show what was stored."""
        value = self.to_python(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value
