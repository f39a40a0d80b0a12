"""The service: jobs and single calls over HTTP. Needs the extra `serve`; nothing in the core imports it."""
