/** The recommendation at the top of the home page. */
import type { Billboard as BillboardData } from "../../api";
import { useText } from "../../i18n";
import { paths } from "../../router";
import { Art } from "../../ui/Art";
import { LinkButton } from "../../ui/Button";
import { listFacts, Maturity } from "../../ui/Card";

export function Billboard({ billboard }: { billboard: BillboardData }) {
  const text = useText();
  const { t } = text;
  const { card, synopsis } = billboard;
  const begun = card.progress && !card.progress.finished && card.progress.position_ms > 0;
  return (
    <section className="billboard" aria-label={t("home.billboard")}>
      <div className="billboard-art"><Art picture={card.pictures.backdrop ?? card.pictures.card} name={card.name} eager bare /></div>
      <div className="billboard-text">
        <h2 className="billboard-name">{card.name}</h2>
        <p className="billboard-facts"><Maturity age={card.maturity} /> {listFacts(card, text).join(" · ")}</p>
        <p className="billboard-synopsis">{card.tagline || synopsis}</p>
        <div className="billboard-actions" data-focus="row">
          <LinkButton to={paths.watch(card.title_id, card.progress?.episode_id)} variant="primary" large icon="play" data-testid="billboard-play" data-focus-id="billboard:play" data-focus-first data-preload="player">
            {t(begun ? "title.resume" : "title.play")}
          </LinkButton>
          <LinkButton to={paths.title(card.title_id)} over large icon="info" data-testid="details" data-focus-id="billboard:details">{t("title.details")}</LinkButton>
        </div>
      </div>
    </section>
  );
}

export function BillboardSkeleton() {
  return (
    <section className="billboard" aria-hidden="true">
      <div className="billboard-text">
        <span className="skeleton line" style={{ width: "min(24rem, 70vw)", height: "3.25rem" }} />
        <span className="skeleton line" style={{ width: "14rem" }} />
        <span className="skeleton line" style={{ width: "min(30rem, 80vw)", height: "2.6em" }} />
        <span className="skeleton line" style={{ width: "18rem", height: "3.25rem", borderRadius: "10rem" }} />
      </div>
    </section>
  );
}
