"""The menu of this room; its pages stand on the desk."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.notices import api as views

api: list[URLPattern] = [
    path("webhooks", views.RegisterWebhook.as_view(), name="register-webhook"),
    path("webhooks/<uuid:webhook_id>/rotate", views.RotateWebhook.as_view(), name="rotate-webhook"),
    path("webhooks/<uuid:webhook_id>/end", views.EndWebhook.as_view(), name="end-webhook"),
    path("webhooks/<uuid:webhook_id>/resend", views.ResendWebhook.as_view(), name="resend-webhook"),
    path("notices", views.ListNotices.as_view(), name="list-notices"),
    path("notices/mail", views.ChooseMail.as_view(), name="choose-mail"),
]
pages: list[URLPattern] = []
