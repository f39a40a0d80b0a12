"""The service's routes, one module for each group of the OpenAPI document. They know HTTP; what they do is elsewhere."""
