// The page of the API: openapi.json, written out.
import { json, make } from "/assets/page.js";

const place = document.getElementById("operations");
const name = (schema) => schema?.$ref?.split("/").pop() ?? schema?.type ?? "any";

function kind(schema, all) {
  if (!schema) return "any";
  if (schema.$ref) return name(schema);
  const several = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (several) return several.map((part) => kind(part, all)).join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items, all)}`;
  return [schema.type].flat().join(" or ") + (schema.enum ? `: ${schema.enum.join(", ")}` : "");
}

function fields(schema, all) {
  const found = schema?.$ref ? all[name(schema)] : schema;
  const rows = Object.entries(found?.properties ?? {}).map(([field, of]) => make("tr", {},
    make("td", {}, make("code", {}, field), found.required?.includes(field) ? " *" : ""),
    make("td", {}, kind(of, all)), make("td", {}, of.description ?? "")));
  return rows.length ? make("div", { class: "scroll" }, make("table", { class: "wide" }, ...rows)) : "";
}

try {
  const api = await json("/openapi.json");
  const all = api.components?.schemas ?? {};
  const parts = [];
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const body = operation.requestBody?.content?.["application/json"]?.schema;
      const answer = operation.responses?.["200"]?.content?.["application/json"]?.schema;
      const section = make("details", {}, make("summary", {}, make("b", {}, method.toUpperCase()), " ",
        make("code", {}, path), ` ${operation.summary ?? ""}`), make("p", {}, operation.description ?? ""));
      if (body) section.append(make("h2", {}, "Body"), fields(body, all));
      if (answer) section.append(make("h2", {}, "Answer"), fields(answer, all));
      parts.push(section);
    }
  }
  place.replaceChildren(...parts);
} catch (error) { place.replaceChildren(make("p", { class: "bad" }, error.message)); }
