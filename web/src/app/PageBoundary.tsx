import { Component, type ReactNode, Suspense } from "react";
import { createOfflineProblem } from "../api";
import { ProblemPage } from "../ui/Field";

interface Props {
  fallback?: ReactNode;
  children: ReactNode;
}

/** Return the problem of a page whose file cannot be loaded; any other failure is a fault of ours. */
const toProblem = (error: unknown): unknown => (error instanceof Error && /import|module|preload/i.test(error.message) ? createOfflineProblem() : error);

/** Shows a page that is loaded on demand; if its file cannot be loaded, a problem that leads to a reload. */
export class PageBoundary extends Component<Props, { failure: unknown }> {
  state = { failure: null };

  static getDerivedStateFromError = (error: unknown) => ({ failure: toProblem(error) });

  render() {
    if (this.state.failure !== null) return <ProblemPage problem={this.state.failure} onRetry={() => location.reload()} />;
    return <Suspense fallback={this.props.fallback}>{this.props.children}</Suspense>;
  }
}
