/** The requests of a player: licences are authorised, segments come from the current edges. */
import { client } from "../../api";
import type { Edges } from "./edges";
import type { Player, Shaka } from "./shaka";

interface Access {
  edges: Edges;
  licencePath: string;
  licenceToken: string;
}

/** Authorise licence requests, and rewrite segment requests for the current edges and tokens. */
export function authorizeRequests(shaka: Shaka, player: Player, getAccess: () => Access): void {
  const { LICENSE, SEGMENT } = shaka.net.NetworkingEngine.RequestType;
  player.getNetworkingEngine()?.registerRequestFilter(async (type, request) => {
    if (type === LICENSE) {
      // The manifest names the licence server of players that are not signed in.
      request.uris = [getAccess().licencePath];
      request.headers.Authorization = `Bearer ${await client.getToken()}`;
      request.headers["X-Licence-Token"] = getAccess().licenceToken;
      request.headers["Content-Type"] = "application/json";
    }
    if (type === SEGMENT) request.uris = getAccess().edges.listUrls(request.uris[0] ?? "", Date.now()) ?? request.uris;
  });
}
