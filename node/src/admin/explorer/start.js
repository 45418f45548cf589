"use strict";

// A file of its own, for the page's policy allows no script within it. Tokens stay in this page's memory.
window.addEventListener("load", () => {
  window.explorer = window.SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#explorer",
    presets: [window.SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    deepLinking: true,
    filter: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    persistAuthorization: false,
    validatorUrl: null,
  });
});
