// Swagger UI comes with BentoML; no validator and nothing else outside this service is asked.
SwaggerUIBundle({ url: "docs.json", dom_id: "#swagger-ui", validatorUrl: null, defaultModelsExpandDepth: 0 });
