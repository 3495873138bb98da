import "./avatar.css";

const getInitials = (name: string) => name.split(/\s+/).map((word) => [...word][0] ?? "").slice(0, 2).join("");

/** The initials of a person, in place of a portrait. */
export function PersonMark({ name }: { name: string }) {
  return <span className="person-mark" aria-hidden="true">{getInitials(name)}</span>;
}
