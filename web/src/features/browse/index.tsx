/** The titles whose names begin with an initial. */
import { useEffect } from "react";
import { api } from "../../api";
import { getScreen, keepScreen, useScreen } from "../../api/screens";
import { useText } from "../../i18n";
import { GridPage } from "../../ui/GridPage";
import { Initials, OTHERS } from "../../ui/Initials";
import { useTitle } from "../../ui/title";
import "./browse.css";

/** The initials of the last page, which are shown while another one is loaded. */
const INITIALS = "initials";

export default function BrowsePage({ initial }: { initial: string }) {
  const { t } = useText();
  const screen = useScreen(`browse:${initial}`, () => api.browse(initial));
  const known = screen.data?.initials;
  const name = initial === OTHERS ? t("browse.others") : t("browse.title", { initial });
  useTitle(name);
  useEffect(() => {
    if (known?.length) keepScreen(INITIALS, known);
  }, [known]);
  return (
    <GridPage name={name} place={`browse:${initial}`} screen={screen} loadMore={(cursor) => api.browse(initial, cursor)} empty={t("browse.empty")}>
      <nav className="browse-initials" aria-label={t("browse.initials")}>
        <Initials initials={known ?? getScreen<string[]>(INITIALS) ?? []} current={screen.data?.initial ?? initial} replace />
      </nav>
    </GridPage>
  );
}
