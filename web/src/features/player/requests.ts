/** The requests of a player: licences are authorised, segments come from the current edges. */
import { client } from "../../api";
import type { Adaptation } from "./abr";
import type { Edges } from "./edges";
import type { Player, Shaka } from "./shaka";

interface Access {
  edges: Edges;
  licencePath: string;
  licenceToken: string;
}

/** Authorise licence requests, and rewrite segment requests for the current edges and tokens. */
export function authorizeRequests(shaka: Shaka, player: Player, adaptation: Adaptation, getAccess: () => Access): void {
  const { LICENSE, SEGMENT } = shaka.net.NetworkingEngine.RequestType;
  const tried = new WeakMap<object, Set<string>>();
  player.getNetworkingEngine()?.registerRequestFilter(async (type, request, context) => {
    if (type === LICENSE) {
      // The manifest names the licence server of players that are not signed in.
      request.uris = [getAccess().licencePath];
      request.headers.Authorization = `Bearer ${await client.getToken()}`;
      request.headers["X-Licence-Token"] = getAccess().licenceToken;
      request.headers["Content-Type"] = "application/json";
    }
    if (type !== SEGMENT) return;
    const edges = tried.get(request) ?? new Set<string>();
    tried.set(request, edges);
    // One URL: Shaka Player picks one of several before this filter, by an order that the filter changes.
    const url = getAccess().edges.chooseUrl(request.uris[0] ?? "", Date.now(), edges);
    if (url !== null) request.uris = [url];
    adaptation.onRequest(request, context);
  });
}
