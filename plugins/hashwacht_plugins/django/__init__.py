"""Hashwacht for Django projects.

In the settings::

    INSTALLED_APPS = [..., "hashwacht_plugins.django"]
    HASHWACHT = {"POLICY": Policy(...)}  # or nothing: see hashwacht_plugins.django.conf

and at least one of: the upload handler, the validator, the storage, each in a module of its own;
or the middleware around the whole application (:mod:`hashwacht_plugins.wsgi`, ``.asgi``).
"""
