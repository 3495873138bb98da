/** The initials of the titles that there are, each with a link to its titles. */
import { useText } from "../i18n";
import { Link, paths } from "../router";
import "./chips.css";

/** The initial of names that begin with no letter. */
export const OTHERS = "#";

interface InitialsProps {
  initials: string[];
  /** The initial of the page. */
  current?: string;
  /** Whether a link replaces the page in the browser's history. */
  replace?: boolean;
}

export function Initials({ initials, current, replace }: InitialsProps) {
  const { t } = useText();
  if (!initials.length) return null;
  return (
    <ul className="chips initials" data-focus="grid">
      {initials.map((initial) => (
        <li key={initial}>
          <Link
            className="chip"
            to={paths.browse(initial)}
            replace={replace}
            aria-current={initial === current ? "page" : undefined}
            aria-label={initial === OTHERS ? t("browse.others") : undefined}
            data-testid="initial"
            data-focus-id={`initial:${initial}`}
          >
            {initial}
          </Link>
        </li>
      ))}
    </ul>
  );
}
