/** The titles of a genre. */
import { api } from "../../api";
import { useScreen } from "../../api/screens";
import { useText } from "../../i18n";
import { GridPage } from "../../ui/GridPage";
import { useTitle } from "../../ui/title";

export default function GenrePage({ genreId }: { genreId: string }) {
  const { t } = useText();
  const screen = useScreen(`genre:${genreId}`, () => api.getGenre(genreId));
  const name = screen.data?.genre.name;
  useTitle(name);
  return <GridPage name={name} place={`genre:${genreId}`} screen={screen} loadMore={(cursor) => api.getGenre(genreId, cursor)} empty={t("genre.empty")} />;
}
