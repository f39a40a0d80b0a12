"""Name, email, phone, company and job title of the person a text is from or about.

llmx extract signatures.jsonl --schema contact
"""

from pydantic import BaseModel, Field


class Contact(BaseModel):
    """The person to get in touch with, as the text gives it; nothing is guessed."""

    name: str | None = Field(
        default=None, description="the person's full name, without titles such as Dr or Ms"
    )
    email: str | None = Field(default=None, description="the email address")
    phone: str | None = Field(default=None, description="the telephone number as written, extension included")
    company: str | None = Field(default=None, description="the company or organization the person belongs to")
    job_title: str | None = Field(default=None, description="the person's role or position")
